-- What the roles may do in this database as a whole: nobody but they may enter, only the owner makes objects, and the writer
-- may use all that the owner makes. Run as the database's owner or a superuser. Names: database, owner, writer.
revoke all on database {database} from public;
grant connect, temporary on database {database} to {writer};
revoke all on schema public from public;
grant usage on schema public to {writer};
grant select, insert, update, delete on all tables in schema public to {writer};
grant usage, select, update on all sequences in schema public to {writer};
alter default privileges for role {owner} in schema public grant select, insert, update, delete on tables to {writer};
alter default privileges for role {owner} in schema public grant usage, select, update on sequences to {writer};
