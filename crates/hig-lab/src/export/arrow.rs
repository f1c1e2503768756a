//! The table in Arrow's file format.

use super::point::{NAMES, points};
use crate::record::Run;
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
