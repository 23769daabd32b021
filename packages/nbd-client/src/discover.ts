import {
  decodeMetaContext,
  decodeServerReply,
  encodeMetaContextRequest,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
  type ServerReply,
} from '@virtnbd/nbd-protocol';
import type { NbdAddress } from './address.ts';
import { askServer, checkNames } from './connect.ts';
import { type ExportProperties, exportProperties } from './export-properties.ts';
import { askForExport, chooseHeaders } from './handshake.ts';
import { ask, exportTitle, refused, unexpected } from './option-exchange.ts';
import type { HandshakeOptions } from './options.ts';

/** Names in a list; a server that goes on is one that never stops. */
const MAX_LISTED = 10_000;

/** An export in a server's list. */
export interface ListedExport {
  exportName: string;
  /** The server's words for people; empty where it has none. */
  description: string;
}

/** What the server tells of an export that is not entered. */
export interface ExportInfo extends ExportProperties {
  /** The name that was asked for. */
  exportName: string;
  /** The name under which the server knows it, where it says so: that of the default export, for one. */
  canonicalName?: string;
  /** The server's words for people. */
  description?: string;
}

/** Which export to ask about. */
export interface ExportInfoOptions extends HandshakeOptions {
  /** The server's default export where it is left out. */
  exportName?: string;
}

/** Which meta contexts to list. */
export interface MetaContextsOptions extends ExportInfoOptions {
  /** Such as `qemu:` or `base:allocation`; what the server likes to list unless told. */
  queries?: readonly string[];
}

/** NBD_OPT_LIST: see {@link NbdClient.list}. */
export function listExports(address: NbdAddress, options: HandshakeOptions): Promise<ListedExport[]> {
  return askServer(address, options, async (stream) => {
    const found: ServerReply[] = [];
    const onReply = (type: number, data: Uint8Array) => {
      if (type !== NBD_REP_SERVER) throw unexpected(NBD_OPT_LIST, type);
      found.push(decodeServerReply(data));
    };
    const refusal = await ask(stream, NBD_OPT_LIST, { onReply, maxReplies: MAX_LISTED });
    if (refusal !== undefined) throw refused(refusal, 'to list its exports');
    return found;
  });
}

/** NBD_OPT_INFO: see {@link NbdClient.info}. */
export function exportInfo(address: NbdAddress, options: ExportInfoOptions): Promise<ExportInfo> {
  const { exportName = '' } = options;
  checkNames([exportName]);
  return askServer(address, options, async (stream) => {
    const answer = await askForExport(stream, NBD_OPT_INFO, exportName);
    if ('reply' in answer) throw refused(answer, exportTitle(exportName));
    const { canonicalName, description } = answer;
    return {
      exportName,
      ...exportProperties(answer),
      ...(canonicalName !== undefined && { canonicalName }),
      ...(description !== undefined && { description }),
    };
  });
}

/** NBD_OPT_LIST_META_CONTEXT: see {@link NbdClient.listMetaContexts}. */
export function listMetaContexts(address: NbdAddress, options: MetaContextsOptions): Promise<string[]> {
  const { exportName = '', queries = [] } = options;
  checkNames([exportName, ...queries]);
  return askServer(address, options, async (stream) => {
    // "This option SHOULD NOT be requested unless structured replies have been negotiated first."
    if ((await chooseHeaders(stream, false)) === 'simple') return [];
    const names: string[] = [];
    const onReply = (type: number, data: Uint8Array) => {
      if (type !== NBD_REP_META_CONTEXT) throw unexpected(NBD_OPT_LIST_META_CONTEXT, type);
      names.push(decodeMetaContext(data).name);
    };
    const data = encodeMetaContextRequest({ exportName, queries });
    const refusal = await ask(stream, NBD_OPT_LIST_META_CONTEXT, { data, onReply, maxReplies: MAX_LISTED });
    if (refusal?.reply === 'NBD_REP_ERR_UNSUP') return [];
    if (refusal !== undefined) throw refused(refusal, `the meta contexts of ${exportTitle(exportName)}`);
    return names;
  });
}
