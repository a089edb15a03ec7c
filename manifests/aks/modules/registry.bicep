// The registry of the tfx-federated images. The nodes pull from it; nobody pushes by password.
param name string
param location string

@description('Principal id of the cluster\'s kubelet identity.')
param pullPrincipalId string
param tags object

// Built-in role AcrPull.
var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  // checkov:skip=CKV_AZURE_139:needs the Premium SKU; only Entra tokens are taken, no password, no anonymous pull
  // checkov:skip=CKV_AZURE_166:quarantine needs the Premium SKU and a scanner; images are named by digest instead
  name: name
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
  }
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, pullPrincipalId, acrPull)
  scope: registry
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPull)
    principalId: pullPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output loginServer string = registry.properties.loginServer
