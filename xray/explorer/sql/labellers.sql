-- One row per image on which two datasets of one site say different things of a finding, the one that the model calls positive
-- most surely first: image_id, site, image, patient, view, age, sex, label, logit, probability, state, source_term, other_state,
-- other_term, key. Parameters: those of `scores`; other_dataset; after, rows as in `images`.
with scored as (
    -- include scores
),
listed as (
    select scored.*, logit as key, one.state, one.source_term, other.state as other_state, other.source_term as other_term
    from scored
    join labels as one on one.image = scored.image and one.dataset = %(dataset)s and one.task = %(task)s
    join labels as other on other.image = scored.image and other.dataset = %(other_dataset)s and other.task = %(task)s
    where one.state <> other.state and logit is not null
),
page as (
    select * from listed
    where (-key, image) > (select -key, image from listed where image = (select name from image where id = %(after)s)) -- if after
    order by key desc, image
    limit %(rows)s -- if rows
)
select image.id as image_id, site.name as site, page.image, page.patient, page.view, page.age, page.sex, page.label,
    page.logit, expit(page.logit) as probability, page.state, page.source_term, page.other_state, page.other_term, page.key
from page
join dataset on dataset.name = %(dataset)s
join site on site.id = dataset.site_id
join image on image.site_id = site.id and image.name = page.image
order by page.key desc, page.image
