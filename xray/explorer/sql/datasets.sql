-- One row per dataset: dataset, site.
select dataset.name as dataset, site.name as site from dataset join site on site.id = dataset.site_id order by dataset.id
