//! `mobula store get`, `put` and `delete`: one object at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mobula_store::{Deleted, ObjectId, ObjectOptions, Store};
use serde::Serialize;

use crate::args::{DeleteArgs, GetArgs, PutArgs};
use crate::failure::Failure;
use crate::output::Output;

/// What `put` and `delete` did, for programs.
#[derive(Debug, Serialize)]
struct Done {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<&'static str>,
}

/// Writes an object's bytes to standard output.
pub(crate) fn get(args: &GetArgs, out: &mut Output) -> Result<(), Failure> {
    let view = Store::attach_read_only(&args.address)?.get(args.id, Some(args.timeout))?;
    out.bytes(if args.metadata { view.metadata() } else { &view })
}

/// Stores a file or standard input.
pub(crate) fn put(args: &PutArgs, out: &mut Output) -> Result<(), Failure> {
    let store = Store::attach(&args.at.address)?;
    let id = args.id.unwrap_or_else(ObjectId::random);
    let mut options = ObjectOptions::new();
    if let Some(text) = &args.metadata {
        options = options.metadata(text.as_bytes());
    }
    let len = if args.file == Path::new("-") {
        let mut data = Vec::new();
        io::stdin().read_to_end(&mut data).map_err(Failure::io("could not read standard input"))?;
        store.put_with(id, &data, &options)?.len()
    } else {
        put_file(&store, id, &args.file, &options)?
    };
    match args.at.json {
        true => out.json(&Done { id: id.to_string(), len: Some(len), deleted: None }),
        false => out.line(id.to_string()),
    }
}

/// Reads a file into the object's own memory; one that does not tell its length (a pipe, a device, one of
/// /proc) goes through ours.
fn put_file(store: &Store, id: ObjectId, path: &Path, options: &ObjectOptions) -> Result<usize, Failure> {
    let read = || Failure::io(format!("could not read {}", path.display()));
    let mut file = File::open(path).map_err(Failure::io(format!("could not open {}", path.display())))?;
    let meta = file.metadata().map_err(read())?;
    if !meta.is_file() || meta.len() == 0 {
        let mut data = Vec::new();
        file.read_to_end(&mut data).map_err(read())?;
        return Ok(store.put_with(id, &data, options)?.len());
    }
    let len = usize::try_from(meta.len()).unwrap_or(usize::MAX);
    let mut buffer = store.create_object_with(id, len, options)?;
    file.read_exact(&mut buffer).map_err(read())?;
    if file.read(&mut [0]).map_err(read())? != 0 {
        return Err(Failure::Other(format!("{} grew while it was read; nothing was stored", path.display())));
    }
    Ok(buffer.seal()?.len())
}

/// Deletes an object.
pub(crate) fn delete(args: &DeleteArgs, out: &mut Output) -> Result<(), Failure> {
    let deleted = Store::attach(&args.at.address)?.delete(args.id)?;
    if args.at.json {
        let deleted = match deleted {
            Deleted::Now => "now",
            Deleted::AtLastRelease => "at_last_release",
        };
        return out.json(&Done { id: args.id.to_string(), len: None, deleted: Some(deleted) });
    }
    match deleted {
        Deleted::Now => Ok(()),
        Deleted::AtLastRelease => out.line("in use: its memory is free once the last view is dropped"),
    }
}
