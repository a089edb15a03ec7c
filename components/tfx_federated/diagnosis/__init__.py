"""What `tfx-federated doctor` looks at: this machine's environment, a cluster, and what a pipeline needs of it."""
