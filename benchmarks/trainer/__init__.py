"""How fast the FederatedTrainer is, next to other frameworks and to the least that the machine needs."""
