"""What starts work: Prefect flows, deployments, automations, and the command line."""
