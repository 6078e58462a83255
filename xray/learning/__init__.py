"""Networks, objective, training, inference, model tracking."""
