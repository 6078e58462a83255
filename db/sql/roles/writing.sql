-- Who may enter a database: the roles, and nobody else. And what the writer may do in a schema of it: read and change the rows
-- of all that the owner has made and will make there, and make nothing itself but temporary tables. Where the role that runs
-- this owns the schema and not the database, PostgreSQL warns and leaves the database as it is.
-- Names: database, schema, owner, writer.
revoke all on database {database} from public;
grant connect, temporary on database {database} to {writer};
revoke all on schema {schema} from public;
grant usage on schema {schema} to {writer};
grant select, insert, update, delete on all tables in schema {schema} to {writer};
grant usage, select, update on all sequences in schema {schema} to {writer};
alter default privileges for role {owner} in schema {schema} grant select, insert, update, delete on tables to {writer};
alter default privileges for role {owner} in schema {schema} grant usage, select, update on sequences to {writer};
