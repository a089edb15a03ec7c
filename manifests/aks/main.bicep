// The Azure side of tfx-federated: one AKS cluster, one registry, the silos' storage, and one identity per silo group.
// Deploy it with the commands of docs/azure.md. Names end in a hash of the resource group, because some are global.
targetScope = 'resourceGroup'

@description('Start of every name. Lower-case letters and digits.')
@minLength(3)
@maxLength(8)
param namePrefix string

@description('Azure region. See that it has the GPU size: az vm list-skus --location REGION --size Standard_NC.')
param location string = resourceGroup().location

@description('Kubernetes minor version. Its Blob CSI driver must be 1.27 or later to mount by workload identity token.')
param kubernetesVersion string

@description('Silo groups. Each has a storage container, an identity, and a Kubernetes namespace silo-GROUP.')
@minLength(1)
param siloGroups array

@description('Object ids of the Entra groups whose members administer the cluster. Local accounts are disabled.')
@minLength(1)
param adminGroupObjectIds array

@description('True: the API server has a private address only; kubectl then works from inside the virtual network.')
param privateApiServer bool

@description('CIDR ranges that reach the API server. Empty: all. Not used when the API server is private.')
param authorizedIpRanges array

@description('Public addresses, or CIDR ranges of /30 or larger, that reach the storage accounts, to upload from.')
param storageIpRanges array

@description('VM size of the pool that runs Kubeflow and the CPU steps.')
param cpuVmSize string

@description('Most nodes of the CPU pool. It has one at least.')
@minValue(1)
param cpuMaxCount int

@description('VM size of the GPU pool. It starts at zero nodes.')
param gpuVmSize string

@description('Most nodes of the GPU pool.')
@minValue(1)
param gpuMaxCount int

@description('True: adds a spot pool beside each of the two, with the same sizes. Azure may take spot nodes away.')
param spotPools bool

@description('Encrypts the nodes\' disks on the host. The subscription needs the feature EncryptionAtHost.')
param encryptionAtHost bool

@description('Availability zones of the node pools; empty for none. Not every region has the GPU size in every zone.')
param availabilityZones array

@description('Days that Log Analytics keeps logs. 30 are included in its price.')
@minValue(30)
@maxValue(730)
param logRetentionDays int

param tags object

var suffix = uniqueString(resourceGroup().id)
var kubeflowNamespace = 'kubeflow'

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    name: '${namePrefix}-network'
    location: location
    tags: tags
  }
}

module logs 'modules/logs.bicep' = {
  name: 'logs'
  params: {
    name: '${namePrefix}-logs-${suffix}'
    location: location
    retentionDays: logRetentionDays
    tags: tags
  }
}

module cluster 'modules/cluster.bicep' = {
  name: 'cluster'
  params: {
    name: '${namePrefix}-cluster'
    location: location
    kubernetesVersion: kubernetesVersion
    networkName: network.outputs.name
    subnetName: network.outputs.subnetName
    workspaceId: logs.outputs.workspaceId
    adminGroupObjectIds: adminGroupObjectIds
    privateApiServer: privateApiServer
    authorizedIpRanges: authorizedIpRanges
    encryptionAtHost: encryptionAtHost
    availabilityZones: availabilityZones
    tags: tags
  }
}

var pools = [
  {
    name: 'cpu'
    vmSize: cpuVmSize
    minCount: 1
    maxCount: cpuMaxCount
    gpu: false
    spot: false
  }
  {
    name: 'gpu'
    vmSize: gpuVmSize
    minCount: 0
    maxCount: gpuMaxCount
    gpu: true
    spot: false
  }
]
var extraPools = [
  {
    name: 'cpuspot'
    vmSize: cpuVmSize
    minCount: 0
    maxCount: cpuMaxCount
    gpu: false
    spot: true
  }
  {
    name: 'gpuspot'
    vmSize: gpuVmSize
    minCount: 0
    maxCount: gpuMaxCount
    gpu: true
    spot: true
  }
]

// One after the other: Azure refuses two writes at once to one cluster.
@batchSize(1)
module nodePools 'modules/pool.bicep' = [
  for pool in (spotPools ? concat(pools, extraPools) : pools): {
    name: 'pool-${pool.name}'
    params: {
      clusterName: cluster.outputs.name
      name: pool.name
      vmSize: pool.vmSize
      minCount: pool.minCount
      maxCount: pool.maxCount
      gpu: pool.gpu
      spot: pool.spot
      subnetId: network.outputs.subnetId
      encryptionAtHost: encryptionAtHost
      availabilityZones: availabilityZones
    }
  }
]

module registry 'modules/registry.bicep' = {
  name: 'registry'
  params: {
    name: '${namePrefix}${suffix}'
    location: location
    pullPrincipalId: cluster.outputs.kubeletPrincipalId
    tags: tags
  }
}

// The pipeline's own: prepared data, such as the flights of the example, and the models that its Pusher writes.
var pipelineContainer = 'pipeline-data'

module siloStorage 'modules/storage.bicep' = {
  name: 'silo-storage'
  params: {
    name: take('${namePrefix}silo${suffix}', 24)
    location: location
    containers: concat(siloGroups, [pipelineContainer])
    sharedKey: false
    subnetId: network.outputs.subnetId
    ipRanges: storageIpRanges
    workspaceId: logs.outputs.workspaceId
    tags: tags
  }
}

// Kubeflow's artifacts. An account of its own, because SeaweedFS knows no other login than the account's key.
module artifactStorage 'modules/storage.bicep' = {
  name: 'artifact-storage'
  params: {
    name: take('${namePrefix}art${suffix}', 24)
    location: location
    containers: ['mlpipeline']
    sharedKey: true
    subnetId: network.outputs.subnetId
    ipRanges: []
    workspaceId: logs.outputs.workspaceId
    tags: tags
  }
}

// The workers of a silo group: they read their own container, and nothing else.
module siloIdentities 'modules/identity.bicep' = [
  for group in siloGroups: {
    name: 'silo-identity-${group}'
    params: {
      name: '${namePrefix}-silo-${group}'
      location: location
      oidcIssuerUrl: cluster.outputs.oidcIssuerUrl
      serviceAccounts: ['silo-${group}:tff-worker']
      storageAccountName: siloStorage.outputs.name
      readableContainers: [group]
      tags: tags
    }
  }
]

// The steps of the pipeline, the trainer among them, and the Beam workers. The operator of the pipeline is trusted with
// every silo's rows (README.md): this identity reads all silos' containers. It writes only to the pipeline's own.
module pipelineIdentity 'modules/identity.bicep' = {
  name: 'pipeline-identity'
  params: {
    name: '${namePrefix}-pipeline'
    location: location
    oidcIssuerUrl: cluster.outputs.oidcIssuerUrl
    serviceAccounts: ['${kubeflowNamespace}:pipeline-runner', '${kubeflowNamespace}:beam-flink']
    storageAccountName: siloStorage.outputs.name
    readableContainers: siloGroups
    writableContainers: [pipelineContainer]
    tags: tags
  }
}

output clusterName string = cluster.outputs.name
output registryLoginServer string = registry.outputs.loginServer
output siloStorageAccount string = siloStorage.outputs.name
output artifactStorageAccount string = artifactStorage.outputs.name

@description('Lines of manifests/kustomize/overlays/aks/azure.env.')
output environment array = [
  'resource-group=${resourceGroup().name}'
  'silo-storage-account=${siloStorage.outputs.name}'
  'pipeline-client-id=${pipelineIdentity.outputs.clientId}'
]

@description('Further lines of it, one per silo group.')
output siloEnvironment array = [
  for (group, index) in siloGroups: '${group}-client-id=${siloIdentities[index].outputs.clientId}'
]
