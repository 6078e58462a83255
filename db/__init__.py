"""PostgreSQL: schema, connections, the embedded server, COPY in and out, and the store of predictions."""
