-- open_question(query, answer): opens the cursor `answer` on a query given as text. PostgreSQL itself refuses here whatever is
-- not exactly one statement that returns rows. The query runs as the role that calls.
create or replace function open_question(query text, answer refcursor) returns refcursor language plpgsql as $$
begin
    open answer for execute query;
    return answer;
end $$;
