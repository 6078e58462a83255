-- elements(vector): its elements in order, as unnest does, of which the planner expects many instead of ten; with ten it
-- would join two such relations row by row, for minutes. Volatile, or it would be put in line and expected to give ten again.
create or replace function elements(vector anyarray) returns setof anyelement
language sql volatile parallel safe rows 20000 as $$ select unnest(vector) $$;
