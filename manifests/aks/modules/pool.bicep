// One node pool for pods of users. Taint, VM size and priority are fixed when a pool is made.
param clusterName string

@maxLength(12)
param name string
param vmSize string
param minCount int
param maxCount int

@description('Keeps pods away that do not tolerate sku=gpu:NoSchedule, and labels the nodes accelerator=nvidia.')
param gpu bool

@description('Takes spare capacity, which Azure may reclaim at any time.')
param spot bool
param subnetId string
param encryptionAtHost bool
param availabilityZones array

var gpuTaints = gpu ? ['sku=gpu:NoSchedule'] : []
var spotTaints = spot ? ['kubernetes.azure.com/scalesetpriority=spot:NoSchedule'] : []

resource cluster 'Microsoft.ContainerService/managedClusters@2025-05-01' existing = {
  name: clusterName
}

resource pool 'Microsoft.ContainerService/managedClusters/agentPools@2025-05-01' = {
  // checkov:skip=CKV_AZURE_227:the parameter encryptionAtHost sets it, true by default
  parent: cluster
  name: name
  properties: {
    mode: 'User'
    vmSize: vmSize
    osType: 'Linux'
    // AKS has no Azure Linux for A100 and H100 sizes.
    osSKU: gpu ? 'Ubuntu' : 'AzureLinux'
    osDiskType: 'Ephemeral'
    osDiskSizeGB: 128
    type: 'VirtualMachineScaleSets'
    enableAutoScaling: true
    count: minCount
    minCount: minCount
    maxCount: maxCount
    maxPods: 110
    availabilityZones: availabilityZones
    enableEncryptionAtHost: encryptionAtHost
    nodeLabels: gpu ? { accelerator: 'nvidia' } : {}
    nodeTaints: concat(gpuTaints, spotTaints)
    vnetSubnetID: subnetId
    scaleSetPriority: spot ? 'Spot' : 'Regular'
    scaleSetEvictionPolicy: spot ? 'Delete' : null
    // Up to the price of a regular node.
    spotMaxPrice: spot ? json('-1') : null
    upgradeSettings: spot ? null : { maxSurge: '33%' }
  }
}
