-- image_predictions(image): everything that every model said of one image, in milliseconds (a filter on the view would
-- unnest every vector first). One row per (site that has an image of this name, model, task).
-- Columns: site, model, seed, trained_on, task, logit, probability.
create or replace function image_predictions(image_name text)
returns table (
    site text, model text, seed integer, trained_on text, task text, logit real, probability double precision
)
language sql stable as $$
    with place as (
        select image.id as image_id, site.name as site, image_list.id as image_list_id,
            array_position(image_list.image_ids, image.id) as position
        from image
        join site on site.id = image.site_id
        join image_list on image_list.image_ids @> array[image.id]
        where image.name = image_name
    ),
    scored as (
        select distinct on (place.image_id, evaluation.model_id, prediction.task_id)
            place.image_id, place.site, evaluation.model_id, prediction.task_id,
            nullif(prediction.logits[place.position], 'NaN') as logit
        from place
        join evaluation on evaluation.image_list_id = place.image_list_id
        join prediction on prediction.evaluation_id = evaluation.id and prediction.logits is not null
        order by place.image_id, evaluation.model_id, prediction.task_id, evaluation.id
    )
    select scored.site, model.name, model.seed, model.trained_on, task.name, scored.logit, expit(scored.logit)
    from scored
    join model on model.id = scored.model_id
    join task on task.id = scored.task_id
    order by scored.image_id, model.id, task.id
$$;
