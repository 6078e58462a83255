-- interventions: one row per (model, test cohort A, target B, kind): A's images scored again, changed to look like B's.
-- Columns: model, seed, trained_on, test_dataset (A), part, target_dataset (B), protocol, kind, changes (what was changed, by how
-- much), images (how many were drawn by random_seed, NULL for all), random_seed, made_at, scores (where a file of scores came from).
-- They are no evaluations: predictions, results and counts don't have them.
create or replace view interventions as
select
    model.name as model,
    model.seed,
    model.trained_on,
    dataset.name as test_dataset,
    cohort.part,
    target.name as target_dataset,
    protocol.name as protocol,
    made.kind,
    made.changes,
    made.images,
    made.seed as random_seed,
    made.made_at,
    made.provenance -> 'scores' as scores
from intervention_evaluation as made
join evaluation on evaluation.id = made.evaluation_id
join model on model.id = evaluation.model_id
join cohort on cohort.image_list_id = evaluation.image_list_id
    and (model.protocol_id = cohort.protocol_id or model.protocol_id is null)
join cohort as of_target on of_target.image_list_id = made.target_list_id
    and of_target.protocol_id = cohort.protocol_id and of_target.part = cohort.part
join dataset on dataset.id = cohort.dataset_id
join dataset as target on target.id = of_target.dataset_id
join protocol on protocol.id = cohort.protocol_id;
