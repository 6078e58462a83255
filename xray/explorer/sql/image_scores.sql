-- One row per (finding, model) that scored an image: task, model, trained_on, seed, logit, probability. Parameter: id.
select scores.task, scores.model, scores.trained_on, scores.seed, scores.logit, scores.probability
from image
join site on site.id = image.site_id
cross join lateral image_predictions(image.name) as scores
where image.id = %(id)s and scores.site = site.name
order by scores.task, scores.probability desc
