-- image_predictions(image): everything that every model said of one image, in milliseconds. One row per (site that has an image of
-- this name, model, task), whatever the dataset and protocol.
-- Columns: site, model, seed, trained_on, task, logit, probability.
create or replace function image_predictions(image_name text)
returns table (
    site text, model text, seed integer, trained_on text, task text, logit real, probability double precision
)
language sql stable parallel safe rows 1000 as $$
    with scored as (
        select distinct on (image.id, evaluation.model_id, prediction.task_id)
            image.id as image_id, image.site_id, evaluation.model_id, prediction.task_id,
            nullif(prediction.logits[listed_image.place], 'NaN') as logit
        from image
        join listed_image on listed_image.image_id = image.id
        join evaluation on evaluation.image_list_id = listed_image.image_list_id
        join prediction on prediction.evaluation_id = evaluation.id and prediction.piece = listed_image.piece
        where image.name = image_name
        order by image.id, evaluation.model_id, prediction.task_id, evaluation.id
    )
    select site.name, model.name, model.seed, model.trained_on, task.name, scored.logit, expit(scored.logit)
    from scored
    join site on site.id = scored.site_id
    join model on model.id = scored.model_id
    join task on task.id = scored.task_id
    order by scored.image_id, model.id, task.id
$$;
