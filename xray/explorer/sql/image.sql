-- One row: an image. site, image, patient, original, view, age, sex. Parameter: id.
select site.name as site, image.name as image, image.patient, image.original, image.view, image.age, image.sex
from image
join site on site.id = image.site_id
where image.id = %(id)s
