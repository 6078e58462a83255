-- Stores what a plan drew as a worklist that is there. Parameters: worklist_id, study_id, trained_on, cohort_id,
-- reference_cohort_id, strata, sizes, drawn, seed, chance.
insert into reread_plan (
    worklist_id, study_id, trained_on, cohort_id, reference_cohort_id, strata, sizes, drawn, seed, chance
)
values (
    :worklist_id, :study_id, :trained_on, :cohort_id, :reference_cohort_id, cast(:strata as smallint[]),
    cast(:sizes as integer[]), cast(:drawn as integer[]), :seed, :chance
)
