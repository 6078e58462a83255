-- prediction_vector(evaluation, task): the logits of an evaluation's task in the order of its image list, in one vector; NULL where
-- the output was never trained. NaN for an image that could not be scored.
create or replace function prediction_vector(evaluation integer, task smallint) returns real[]
language plpgsql stable strict parallel safe cost 10000 as $$
declare
    part real[];
    whole real[];
begin
    for part in
        select prediction.logits from prediction
        where prediction.evaluation_id = evaluation and prediction.task_id = task
        order by prediction.piece
    loop
        whole = whole || part;
    end loop;
    return whole;
end $$;
