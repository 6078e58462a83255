-- One row per image of a test cohort that a model scored, or several together, of which the mean logit counts: image, patient,
-- view, age, sex, label, logit. Parameters: models, dataset, task, protocol, and those of `filters`.
select image, patient, view, age, sex, label, avg(logit)::real as logit
from predictions
where model = any(%(models)s) and test_dataset = %(dataset)s and task = %(task)s and protocol = %(protocol)s
    and view = %(view)s -- if view
    and sex = %(sex)s -- if sex
    and age >= %(age_from)s -- if age_from
    and age <= %(age_to)s -- if age_to
    and label = %(label)s -- if label
    and label is null -- if unlabelled
    and image in ( -- if column
        select image from native_cells -- if column
        where dataset = %(dataset)s and native_column = %(column)s -- if column
            and value >= %(value_from)s -- if value_from
            and value <= %(value_to)s -- if value_to
    ) -- if column
group by image, patient, view, age, sex, label
