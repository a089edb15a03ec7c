"""What silos give to a federated training, and which of them give nothing or do harm."""
