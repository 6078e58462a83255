-- Guard: at commit, an evaluation has a vector for each task that its model was trained on.

create or replace function guard_complete_evaluation() returns trigger language plpgsql as $$
declare
    missing text;
begin
    if not exists (select from evaluation where id = new.id) then
        return null;
    end if;
    select string_agg(task.name, ', ' order by task.id) into missing
    from model_task
    join task on task.id = model_task.task_id
    left join prediction
        on prediction.evaluation_id = new.id and prediction.piece = 0 and prediction.task_id = model_task.task_id
    where model_task.model_id = new.model_id and prediction.logits is null;
    if missing is not null then
        raise exception 'evaluation % is not complete: no scores for %', new.id, missing using errcode = 'check_violation';
    end if;
    return null;
end $$;

drop trigger if exists guard_complete_evaluation on evaluation;
create constraint trigger guard_complete_evaluation after insert on evaluation
    deferrable initially deferred for each row execute function guard_complete_evaluation();

create or replace function guard_prediction_kept() returns trigger language plpgsql as $$
begin
    if exists (select from evaluation where id = old.evaluation_id) then
        raise exception 'evaluation % would no longer be complete: delete the evaluation instead', old.evaluation_id
            using errcode = 'restrict_violation';
    end if;
    return null;
end $$;

drop trigger if exists guard_prediction_kept on prediction;
create constraint trigger guard_prediction_kept after delete on prediction
    deferrable initially deferred for each row execute function guard_prediction_kept();

-- An intervention has scores, and of all that its evaluation has; but for a file, which may be of fewer findings.
create or replace function guard_complete_intervention() returns trigger language plpgsql as $$
begin
    if not exists (select from intervention_evaluation where id = new.id) then
        return null;
    end if;
    if not exists (select from intervention_score where intervention_id = new.id) or new.kind <> 'pipeline' and exists (
        select from prediction where evaluation_id = new.evaluation_id and piece = 0 and not exists (
            select from intervention_score as score
            where score.intervention_id = new.id and score.task_id = prediction.task_id
        )
    ) then
        raise exception 'intervention % is not complete', new.id using errcode = 'check_violation';
    end if;
    return null;
end $$;

drop trigger if exists guard_complete_intervention on intervention_evaluation;
create constraint trigger guard_complete_intervention after insert on intervention_evaluation
    deferrable initially deferred for each row execute function guard_complete_intervention();
