import { plain, type Session } from './session.ts';
import { receiveAll, withStream } from './streams.ts';

export function storageCalls(session: Session) {
  const { libvirt } = session;
  return {
    /** @returns the pool's name; null when it is not active, and so knows no volumes */
    refreshPoolAt(path: string): string | null {
      const pool = session.value(
        'virStoragePoolLookupByTargetPath',
        libvirt.virStoragePoolLookupByTargetPath(session.connection, plain(path)),
      );
      try {
        if (session.count('virStoragePoolIsActive', libvirt.virStoragePoolIsActive(pool)) === 0) return null;
        session.count('virStoragePoolRefresh', libvirt.virStoragePoolRefresh(pool, 0));
        return session.value('virStoragePoolGetName', libvirt.virStoragePoolGetName(pool));
      } finally {
        libvirt.virStoragePoolFree(pool);
      }
    },

    /** Bytes of the volume that has this path; fewer than `length` at its end. */
    readVolume(path: string, offset: number, length: number): Uint8Array {
      const volume = session.value(
        'virStorageVolLookupByPath',
        libvirt.virStorageVolLookupByPath(session.connection, plain(path)),
      );
      try {
        return withStream(session, (stream) => {
          session.count('virStorageVolDownload', libvirt.virStorageVolDownload(volume, stream, offset, length, 0));
          return receiveAll(session, stream, `what libvirt sends of ${path}`, length);
        });
      } finally {
        libvirt.virStorageVolFree(volume);
      }
    },

    volumeXml(poolName: string, volumeName: string): string {
      const pool = session.value(
        'virStoragePoolLookupByName',
        libvirt.virStoragePoolLookupByName(session.connection, plain(poolName)),
      );
      try {
        const volume = session.value(
          'virStorageVolLookupByName',
          libvirt.virStorageVolLookupByName(pool, plain(volumeName)),
        );
        try {
          return session.value('virStorageVolGetXMLDesc', libvirt.virStorageVolGetXMLDesc(volume, 0));
        } finally {
          libvirt.virStorageVolFree(volume);
        }
      } finally {
        libvirt.virStoragePoolFree(pool);
      }
    },
  };
}
