using './main.bicep'

param namePrefix = 'fedlearn'
param kubernetesVersion = '1.34'
param siloGroups = ['group-a', 'group-b']

// Who administers the cluster: az ad group show --group NAME --query id
param adminGroupObjectIds = [readEnvironmentVariable('ADMIN_GROUP_OBJECT_ID')]

// Who reaches the API server and the storage: this address, say, from curl https://ifconfig.me. Empty: all, for the API
// server; none outside the cluster's network, for the storage.
param privateApiServer = false
param authorizedIpRanges = ['${readEnvironmentVariable('MY_IP_ADDRESS')}/32']
param storageIpRanges = [readEnvironmentVariable('MY_IP_ADDRESS')]

param cpuVmSize = 'Standard_D8ds_v5'
param cpuMaxCount = 4
param gpuVmSize = 'Standard_NC4as_T4_v3'
param gpuMaxCount = 3
param spotPools = false

param encryptionAtHost = true
param availabilityZones = []
param logRetentionDays = 30
param tags = {
  application: 'tfx-federated'
}
