-- Lets the reader enter our own database, without temporary tables, and see the schema of our tables; what it may read there is
-- granted with the views. Names: database, schema, reader.
grant connect on database {database} to {reader};
grant usage on schema {schema} to {reader};
