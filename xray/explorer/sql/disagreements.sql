-- One row per image that two models scored, the one that they rank most differently first: image_id, site, image, patient, view,
-- age, sex, label, logit, probability, other_logit, other_probability, rank, other_rank (shares of the cohort below, 0 to 1), key
-- (their distance). Parameters: those of `scores`; others (the other model); changed (only images that one of them calls
-- positive: the first from threshold t on, the other from t_other on); better, worse (of these, calls that the other got
-- right, or wrong); after, rows as in `images`.
with scored as (
    -- include scores
),
other as (
    select image, avg(logit)::real as logit
    from predictions
    where model = any(%(others)s) and test_dataset = %(dataset)s and task = %(task)s and protocol = %(protocol)s
    group by image
),
ranked as (
    select scored.*, other.logit as other_logit,
        percent_rank() over (order by scored.logit) as rank,
        percent_rank() over (order by other.logit) as other_rank
    from scored
    join other on other.image = scored.image
    where scored.logit is not null and other.logit is not null
),
listed as (
    select *, abs(rank - other_rank) as key
    from ranked
    where true
        and (logit >= %(t)s) <> (other_logit >= %(t_other)s) -- if changed
        and (label = 1) = (other_logit >= %(t_other)s) -- if better
        and (label = 1) = (logit >= %(t)s) -- if worse
),
page as (
    select * from listed
    where (-key, image) > (select -key, image from listed where image = (select name from image where id = %(after)s)) -- if after
    order by key desc, image
    limit %(rows)s -- if rows
)
select image.id as image_id, site.name as site, page.image, page.patient, page.view, page.age, page.sex, page.label,
    page.logit, expit(page.logit) as probability, page.other_logit, expit(page.other_logit) as other_probability,
    page.rank, page.other_rank, page.key
from page
join dataset on dataset.name = %(dataset)s
join site on site.id = dataset.site_id
join image on image.site_id = site.id and image.name = page.image
order by page.key desc, page.image
