-- Lets the reader enter this database and see its schema; what it may read there is granted with the views.
-- Names: database, reader.
grant connect on database {database} to {reader};
grant usage on schema public to {reader};
