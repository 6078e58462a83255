"""From native label files to frozen cohorts: sources, label rules, protocols, splits, leakage; phantoms."""
