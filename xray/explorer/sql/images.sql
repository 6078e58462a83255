-- One row per image of a list, the highest key first: image_id, site, image, patient, view, age, sex, label, logit, probability,
-- key. Parameters: those of `scores`; direction (1: highest logit first, -1: lowest); called, not_called (only images at or above
-- the threshold t, or below); after (image_id of the last row of the page before); rows (so many).
with scored as (
    -- include scores
),
listed as (
    select *, %(direction)s * logit as key
    from scored
    where logit is not null
        and logit >= %(t)s -- if called
        and logit < %(t)s -- if not_called
),
page as (
    select * from listed
    where (-key, image) > (select -key, image from listed where image = (select name from image where id = %(after)s)) -- if after
    order by key desc, image
    limit %(rows)s -- if rows
)
select image.id as image_id, site.name as site, page.image, page.patient, page.view, page.age, page.sex, page.label,
    page.logit, expit(page.logit) as probability, page.key
from page
join dataset on dataset.name = %(dataset)s
join site on site.id = dataset.site_id
join image on image.site_id = site.id and image.name = page.image
order by page.key desc, page.image
