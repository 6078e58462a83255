-- One row per (task, image of a test dataset) that was scored again: task, image, patient, label, before, after (mean logits over the
-- seeds of a configuration). Parameters: study, trained_on, test_dataset, target_dataset, kind.
select made.task, made.image, made.patient, made.label, avg(made.logit_before) as before, avg(made.logit_after) as after
from intervention_predictions as made
join model on model.name = made.model
join study_model on study_model.model_id = model.id
join study on study.id = study_model.study_id
left join protocol on protocol.id = study.protocol_id
where study.name = :study and made.trained_on = :trained_on and made.test_dataset = :test_dataset
    and made.target_dataset = :target_dataset and made.kind = :kind
    and made.protocol = coalesce(protocol.name, made.protocol) and made.part = 'test'
group by made.task, made.image, made.patient, made.label
order by made.task, made.image
