-- piece_length(): how many elements a piece of a vector has, the last one of a vector fewer: logits of one fill a page of 8 kB, so
-- that an element is read with one page. `db.schema.PIECE` says the same.
create or replace function piece_length() returns integer language sql immutable parallel safe as $$ select 2000 $$;
