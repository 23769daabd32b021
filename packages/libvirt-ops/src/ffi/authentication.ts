import koffi from 'koffi';
import type { Address } from './signatures.ts';

// struct _virConnectCredential: 48 bytes
//   0  int type               virConnectCredentialType
//   8  const char *prompt
//  16  const char *challenge
//  24  const char *defresult
//  32  char *result           ours to set: malloc()ed, freed by libvirt
//  40  unsigned int resultlen
const CREDENTIAL_SIZE = 48;
const RESULT_AT = 32;
const RESULT_LENGTH_AT = 40;

// struct _virConnectAuth
const AUTH = koffi.struct({ types: 'void *', count: 'unsigned int', callback: 'void *', data: 'void *' });

/** virConnectCredentialType: which questions are answered, and by what. */
const USERNAME = 1;
const AUTHNAME = 2;
const PASSPHRASE = 5;
const ECHOPROMPT = 6;
const NOECHOPROMPT = 7;
const QUESTIONS = [USERNAME, AUTHNAME, PASSPHRASE, ECHOPROMPT, NOECHOPROMPT];

export interface Credentials {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
}

export interface Authentication {
  /** struct _virConnectAuth, valid until {@link Authentication.release}. */
  readonly struct: Address;
  release(): void;
}

/** Builds the answers to libvirt's questions for a user name and password. */
export function authentication(credentials: Credentials): Authentication {
  const strdup: (text: string) => Address | null = koffi.load(null).func('void *strdup(const char *text)');
  const answer = (list: Address, count: number): number => {
    for (let index = 0; index < count; index += 1) {
      const at = list + BigInt(index * CREDENTIAL_SIZE);
      const text = answerTo(koffi.decode.int(at), credentials);
      const copy = text === undefined ? null : strdup(text);
      if (text === undefined || copy === null) return -1; // libvirt: authentication cancelled
      koffi.encode(at + BigInt(RESULT_AT), 'void *', copy);
      koffi.encode(at + BigInt(RESULT_LENGTH_AT), 'unsigned int', Buffer.byteLength(text));
    }
    return 0;
  };
  const shape = koffi.proto('int', ['void *', 'unsigned int', 'void *']);
  const callback = koffi.register(answer, koffi.pointer(shape));

  const types: Address = koffi.alloc('int', QUESTIONS.length);
  koffi.encode(types, 'int', QUESTIONS, QUESTIONS.length);
  const struct: Address = koffi.alloc(AUTH, 1);
  koffi.encode(struct, AUTH, { types, count: QUESTIONS.length, callback, data: null });
  return {
    struct,
    release() {
      koffi.unregister(callback);
      koffi.free(struct);
      koffi.free(types);
    },
  };
}

function answerTo(question: number, credentials: Credentials): string | undefined {
  if (question === PASSPHRASE || question === NOECHOPROMPT) return credentials.password;
  // Whom to act as, for SASL: the one who logs in, unless told. An authentication file rarely says it.
  if (question === USERNAME) return credentials.user ?? '';
  return credentials.user;
}
