//! An open file of a simulated disk: a handle that goes on after a rename or removal.

use std::fmt;
use std::io;

use super::super::{Access, DiskFile};
use super::SimDisk;

/// A file of a [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    /// Which file: stays the same when the name changes.
    id: u64,
    /// The name it was opened by.
    name: String,
    access: Access,
}

impl SimFile {
    /// Takes over a reference that the state has counted already.
    pub(super) fn new(disk: SimDisk, id: u64, name: &str, access: Access) -> SimFile {
        SimFile { disk, id, name: name.to_owned(), access }
    }

    fn writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(rustix::io::Errno::BADF.into()),
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("name", &self.name).field("id", &self.id).finish()
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.state().close(self.id);
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.state().len(self.id, &self.name)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        self.disk.state().set_len(self.id, &self.name, len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<bool> {
        self.writable()?;
        self.disk.state().allocate(self.id, &self.name, offset, len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.state().read(self.id, &self.name, buf, offset)
    }

    fn write_at(&self, bufs: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.writable()?;
        self.disk.state().write(self.id, &self.name, bufs, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync(self.id, &self.name)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.state().sync(self.id, &self.name)
    }
}
