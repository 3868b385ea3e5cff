import { restoreScript, targetScript } from '../../ops/lib/header-restore.ts'
import { clean } from '../bash.ts'
import { describe } from '../describe.ts'

describe('restoring a header', ({ test }) => {
  test('is clean scripts', () => {
    clean(targetScript('/dev/sda3').text, restoreScript({ sha256: 'a'.repeat(64) }, '/dev/sda3').text)
  })
})
