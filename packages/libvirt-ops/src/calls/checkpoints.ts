import { takeAddresses } from '../ffi/arrays.ts';
import { CheckpointCreateFlag, CheckpointDeleteFlag, CheckpointListFlag, CheckpointXmlFlag } from '../ffi/flags.ts';
import type { Address, CheckpointHandle, Out } from '../ffi/signatures.ts';
import { flags, plain, type Session } from './session.ts';

export interface CheckpointXmlOptions {
  /** With the bytes dirty since the checkpoint, disk by disk (asks QEMU; the domain must run). */
  readonly size?: boolean;
  /** Without the copy of the domain's XML, which is most of the text. */
  readonly noDomain?: boolean;
  /** With passwords in the domain's XML (not on a read-only connection). */
  readonly secure?: boolean;
}

export interface CreateCheckpointOptions {
  /** Tell libvirt of a checkpoint whose bitmaps exist already, rather than make them. */
  readonly redefine?: boolean;
  /** As `redefine`, and check that the bitmaps are there and usable. */
  readonly redefineValidate?: boolean;
}

export interface DeleteCheckpointOptions {
  /** Forget the checkpoint, leave the bitmaps alone. */
  readonly metadataOnly?: boolean;
  /** With all checkpoints that descend from it. */
  readonly children?: boolean;
}

export function checkpointCalls(session: Session) {
  const { libvirt } = session;
  return {
    /** The XML of every checkpoint, parents before children. */
    checkpointXmls(uuid: string): string[] {
      return session.withDomain(uuid, (domain) => {
        const array: Out<Address | null> = [null];
        const count = session.count(
          'virDomainListAllCheckpoints',
          libvirt.virDomainListAllCheckpoints(domain, array, CheckpointListFlag.topological),
        );
        const checkpoints = takeAddresses<CheckpointHandle>(array[0], count);
        try {
          return checkpoints.map((checkpoint) =>
            session.value(
              'virDomainCheckpointGetXMLDesc',
              libvirt.virDomainCheckpointGetXMLDesc(checkpoint, CheckpointXmlFlag.noDomain),
            ),
          );
        } finally {
          for (const checkpoint of checkpoints) libvirt.virDomainCheckpointFree(checkpoint);
        }
      });
    },

    checkpointXml(uuid: string, name: string, options: CheckpointXmlOptions): string {
      const bits = flags(
        [options.secure, CheckpointXmlFlag.secure],
        [options.noDomain, CheckpointXmlFlag.noDomain],
        [options.size, CheckpointXmlFlag.size],
      );
      return session.withCheckpoint(uuid, name, (checkpoint) =>
        session.value('virDomainCheckpointGetXMLDesc', libvirt.virDomainCheckpointGetXMLDesc(checkpoint, bits)),
      );
    },

    createCheckpoint(uuid: string, xml: string, options: CreateCheckpointOptions): void {
      const bits = flags(
        [options.redefine || options.redefineValidate, CheckpointCreateFlag.redefine],
        [options.redefineValidate, CheckpointCreateFlag.redefineValidate],
      );
      session.withDomain(uuid, (domain) => {
        const checkpoint = session.value(
          'virDomainCheckpointCreateXML',
          libvirt.virDomainCheckpointCreateXML(domain, plain(xml), bits),
        );
        libvirt.virDomainCheckpointFree(checkpoint);
      });
    },

    deleteCheckpoint(uuid: string, name: string, options: DeleteCheckpointOptions): void {
      const bits = flags(
        [options.children, CheckpointDeleteFlag.children],
        [options.metadataOnly, CheckpointDeleteFlag.metadataOnly],
      );
      session.withCheckpoint(uuid, name, (checkpoint) =>
        session.count('virDomainCheckpointDelete', libvirt.virDomainCheckpointDelete(checkpoint, bits)),
      );
    },
  };
}
