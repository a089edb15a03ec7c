"""The FederatedTrainer component."""
