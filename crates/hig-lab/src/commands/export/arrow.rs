//! The table in Arrow's file format.

use super::point::{NAMES, points};
use crate::run_folder::Run;
use anyhow::Result;
use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema};
use std::io::Write;
use std::sync::Arc;

/// Rows that are held in memory before they are written.
const BATCH: usize = 1 << 16;

/// Writes the numbers of runs.
pub fn write(runs: &[Run], to: &mut dyn Write) -> Result<()> {
    let schema = Arc::new(schema());
    let mut writer = FileWriter::try_new(to, &schema)?;
    let mut batch = Batch::default();
    points(runs, |point| {
        batch.run.append_value(point.run);
        batch.method.append_value(point.method);
        batch.update.append_value(point.update);
        batch.epoch.append_option(point.epoch);
        batch.seconds.append_option(point.seconds);
        batch.quantity.append_value(point.quantity);
        batch.value.append_value(point.value);
        batch.rows += 1;
        if batch.rows == BATCH {
            writer.write(&batch.take(&schema)?)?;
        }
        Ok(())
    })?;
    if batch.rows > 0 {
        writer.write(&batch.take(&schema)?)?;
    }
    Ok(writer.finish()?)
}

fn schema() -> Schema {
    use DataType::{Float64, Int64, Utf8};
    let types = [Utf8, Utf8, Int64, Float64, Float64, Utf8, Float64];
    let field = |(name, kind): (&str, DataType)| {
        Field::new(name, kind, ["epoch", "seconds"].contains(&name))
    };
    let fields: Vec<Field> = NAMES.into_iter().zip(types).map(field).collect();
    Schema::new(fields)
}

#[derive(Default)]
struct Batch {
    rows: usize,
    run: StringBuilder,
    method: StringBuilder,
    update: Int64Builder,
    epoch: Float64Builder,
    seconds: Float64Builder,
    quantity: StringBuilder,
    value: Float64Builder,
}

impl Batch {
    fn take(&mut self, schema: &Arc<Schema>) -> Result<RecordBatch> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.run.finish()),
            Arc::new(self.method.finish()),
            Arc::new(self.update.finish()),
            Arc::new(self.epoch.finish()),
            Arc::new(self.seconds.finish()),
            Arc::new(self.quantity.finish()),
            Arc::new(self.value.finish()),
        ];
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    use arrow_ipc::reader::FileReader;
    use std::fs;
    use std::io::Cursor;

    #[test]
    fn what_is_written_is_read_back_over_several_batches() {
        let folder = tempfile::TempDir::new().unwrap();
        let method = folder.path().join("hig");
        fs::create_dir(&method).unwrap();
        let mut metrics = "update,epoch,seconds,train_loss,test_loss\n".to_owned();
        (0..40_000).for_each(|k| metrics += &format!("{k},{k}e-2,{k}e-3,{k}.5,NaN\n"));
        fs::write(method.join("metrics.csv"), metrics).unwrap();
        let steps = "update,quantity,value\n7,rank,12\n50000,rank,-inf\n";
        fs::write(method.join("steps.csv"), steps).unwrap();
        let mut bytes = Vec::new();
        write(&[Run::read(folder.path())], &mut bytes).unwrap();

        let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
        assert_eq!(reader.schema().as_ref(), &schema());
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let rows: Vec<usize> = batches.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(rows, [BATCH, 2 * 40_000 + 2 - BATCH]);

        let first = &batches[0];
        assert_eq!(first["method"].as_string::<i32>().value(0), "hig");
        assert_eq!(
            first["quantity"].as_string::<i32>().value(39_999),
            "train_loss"
        );
        assert_eq!(
            first["quantity"].as_string::<i32>().value(40_000),
            "test_loss"
        );
        assert_eq!(
            first["update"].as_primitive::<Int64Type>().value(39_999),
            39_999
        );
        let value = first["value"].as_primitive::<Float64Type>();
        assert_eq!(value.value(39_999), 39_999.5);
        assert!(value.value(40_000).is_nan() && value.is_valid(40_000));

        let last = &batches[1];
        let (rank, outside) = (last.num_rows() - 2, last.num_rows() - 1);
        assert_eq!(last["quantity"].as_string::<i32>().value(rank), "rank");
        assert_eq!(
            last["seconds"].as_primitive::<Float64Type>().value(rank),
            7e-3
        );
        // No evaluation was at that update.
        assert!(last["epoch"].is_null(outside) && last["seconds"].is_null(outside));
        let value = last["value"].as_primitive::<Float64Type>();
        assert_eq!(value.value(outside), f64::NEG_INFINITY);
    }
}
