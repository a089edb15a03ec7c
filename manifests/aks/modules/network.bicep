// The nodes' network. Pods have addresses of an overlay, not of this subnet.
param name string
param location string
param tags object

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: name
  location: location
  tags: tags
  // No rule of our own: the default ones let nothing in from outside the network but the load balancer's probes.
  properties: {
    securityRules: []
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: ['10.10.0.0/16']
    }
    subnets: [
      {
        name: 'nodes'
        properties: {
          addressPrefix: '10.10.0.0/22'
          networkSecurityGroup: {
            id: securityGroup.id
          }
          // The storage accounts let this subnet in, and otherwise only the addresses that the parameters name.
          serviceEndpoints: [
            {
              service: 'Microsoft.Storage'
            }
          ]
        }
      }
    ]
  }
}

output name string = network.name
output subnetName string = network.properties.subnets[0].name
output subnetId string = network.properties.subnets[0].id
