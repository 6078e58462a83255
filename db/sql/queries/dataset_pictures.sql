-- One row per dataset whose images all have pictures: dataset, pictures (the hash of their content hashes in order, by which
-- pixel caches are known).
select
    dataset.name as dataset,
    encode(sha256(convert_to(string_agg(image.content_hash, E'\n' order by listed.position), 'UTF8')), 'hex') as pictures
from dataset
join image_list on image_list.id = dataset.image_list_id
cross join lateral unnest(image_list.image_ids) with ordinality as listed (image_id, position)
join image on image.id = listed.image_id
group by dataset.id, dataset.name
having bool_and(image.content_hash is not null)
order by dataset.id
