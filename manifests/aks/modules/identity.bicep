// An identity that Kubernetes service accounts take on, and the storage containers that it reads or writes.
param name string
param location string
param oidcIssuerUrl string

@description('Service accounts that may take on the identity, each NAMESPACE:NAME.')
param serviceAccounts array
param storageAccountName string
param readableContainers array
param writableContainers array = []
param tags object

// Built-in roles Storage Blob Data Reader and Storage Blob Data Contributor.
var blobDataReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
  tags: tags
}

// One after the other: Azure refuses two writes at once to the credentials of one identity.
@batchSize(1)
resource credentials 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [
  for serviceAccount in serviceAccounts: {
    parent: identity
    name: replace(serviceAccount, ':', '-')
    properties: {
      issuer: oidcIssuerUrl
      subject: 'system:serviceaccount:${serviceAccount}'
      audiences: ['api://AzureADTokenExchange']
    }
  }
]

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageAccountName
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' existing = {
  parent: account
  name: 'default'
}

resource readable 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = [
  for container in readableContainers: {
    parent: blobService
    name: container
  }
]

resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (container, index) in readableContainers: {
    name: guid(account.id, container, identity.id, blobDataReader)
    scope: readable[index]
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataReader)
      principalId: identity.properties.principalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource writable 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = [
  for container in writableContainers: {
    parent: blobService
    name: container
  }
]

resource writes 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (container, index) in writableContainers: {
    name: guid(account.id, container, identity.id, blobDataContributor)
    scope: writable[index]
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
      principalId: identity.properties.principalId
      principalType: 'ServicePrincipal'
    }
  }
]

output clientId string = identity.properties.clientId
