//! Shared memory files and their mappings.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{
    FallocateFlags, FlockOperation, MemfdFlags, Mode, SealFlags, SeekFrom, fallocate, fcntl_add_seals, fcntl_get_seals,
    flock, memfd_create, seek,
};
use rustix::io::retry_on_intr;
use rustix::process::{Resource, getrlimit};

/// Makes anonymous shared memory of `len` bytes whose size can never change again.
///
/// The kernel frees it when the last process that maps or holds it is gone, however that ends.
pub(crate) fn anonymous(name: &str, len: usize) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know the flag.
        Err(rustix::io::Errno::INVAL) => memfd_create(name, flags)?,
        other => other?,
    };
    let file = File::from(fd);
    file.set_len(len as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
    Ok(file)
}

/// Says whether nobody can change the length of an anonymous file any more.
pub(crate) fn has_fixed_length(file: impl AsFd) -> bool {
    let needed = SealFlags::SHRINK | SealFlags::GROW;
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(needed))
}

/// Says whether two descriptors are of one file.
pub(crate) fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    identity(one).is_some_and(|file| Some(file) == identity(other))
}

/// Opens named shared memory that exists; read and write.
pub(crate) fn open_named(name: &str) -> io::Result<File> {
    let fd = rustix::shm::open(name, rustix::shm::OFlags::RDWR, Mode::empty())?;
    Ok(File::from(fd))
}

/// Maps all of a file for reading and writing, shared.
pub(crate) fn map(file: &File, len: usize) -> io::Result<MmapRaw> {
    let map = MmapOptions::new().len(len).map_raw(file)?;
    advise(&map);
    Ok(map)
}

/// Maps all of a file for reading, shared; the kernel refuses every write through it.
pub(crate) fn map_read_only(file: &File, len: usize) -> io::Result<MmapRaw> {
    let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
    advise(&map);
    Ok(map)
}

/// Opens an open file once more, for reading only, whatever its name has become.
pub(crate) fn reopen_to_read(file: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Keeps shared memory out of core dumps; a kernel that cannot is no reason to fail.
fn advise(map: &MmapRaw) {
    let _ = map.advise(memmap2::Advice::DontDump);
}

/// Commits a range: afterwards touching it can never fail for want of memory (ST-6).
pub(crate) fn commit(file: impl AsFd, offset: usize, len: usize) -> io::Result<()> {
    Ok(retry_on_intr(|| fallocate(&file, FallocateFlags::KEEP_SIZE, offset as u64, len as u64))?)
}

/// Gives the memory of a range back; it reads as zeros afterwards.
pub(crate) fn decommit(file: impl AsFd, offset: usize, len: usize) -> io::Result<()> {
    let flags = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE;
    Ok(retry_on_intr(|| fallocate(&file, flags, offset as u64, len as u64))?)
}

/// Returns how many bytes of a file are committed.
pub(crate) fn committed(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or(0, |m| m.blocks() * 512)
}

/// Says whether the page at `offset` has been written by anybody, rather than being a hole or only committed.
pub(crate) fn is_written(file: &File, offset: usize) -> bool {
    // Moves the file's position, which nobody uses.
    seek(file, SeekFrom::Data(offset as u64)).is_ok_and(|data| data == offset as u64)
}

/// Commits a range and faults it in for writing; an error where touching it would have been a signal.
pub(crate) fn populate(map: &MmapRaw, offset: usize, len: usize) -> io::Result<()> {
    map.advise_range(memmap2::Advice::PopulateWrite, offset, len)
}

/// As [`populate`], several times faster for a range whose pages exist and are only not mapped here.
///
/// The kernel maps the neighbours of a page that is read along with it, and in a shared writable
/// mapping it maps them writable.
pub(crate) fn map_ahead(map: &MmapRaw, offset: usize, len: usize) -> io::Result<()> {
    map.advise_range(memmap2::Advice::PopulateRead, offset, len)
}

/// Writes bytes through the descriptor: commits what they cover, with an error where there is no memory,
/// and does not fill pages with zeros first, nor map them.
pub(crate) fn write(file: &File, bytes: &[u8], offset: usize) -> io::Result<()> {
    // Past a limit for files the kernel would not only refuse but send a deadly signal.
    if getrlimit(Resource::Fsize).current.is_some() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    file.write_all_at(bytes, offset as u64)
}

/// Locks a file as [`lock`] does, but says no instead of waiting.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &std::path::Path) {
    let _ = fs::remove_file(path);
}
