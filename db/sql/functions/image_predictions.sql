-- image_predictions(image): everything that every model said of one image, in milliseconds (a filter on the view would
-- unnest every vector first). One row per (model, task). Columns: model, seed, trained_on, task, logit, probability.
create or replace function image_predictions(image_name text)
returns table (model text, seed integer, trained_on text, task text, logit real, probability double precision)
language sql stable as $$
    with place as (
        select image_list.id as image_list_id, array_position(image_list.image_ids, image.id) as position
        from image
        join image_list on image_list.image_ids @> array[image.id]
        where image.name = image_name
    )
    select distinct on (model.id, task.id)
        model.name, model.seed, model.trained_on, task.name,
        nullif(prediction.logits[place.position], 'NaN'),
        1 / (1 + exp(-least(greatest(nullif(prediction.logits[place.position], 'NaN')::double precision, -700), 700)))
    from place
    join evaluation on evaluation.image_list_id = place.image_list_id
    join prediction on prediction.evaluation_id = evaluation.id and prediction.logits is not null
    join model on model.id = evaluation.model_id
    join task on task.id = prediction.task_id
    order by model.id, task.id, evaluation.id
$$;
