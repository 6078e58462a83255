-- One row per (model, test dataset, finding, protocol) that is scored: model, test_dataset, task, protocol.
select model, test_dataset, task, protocol from prediction_vectors order by model, test_dataset, task, protocol
