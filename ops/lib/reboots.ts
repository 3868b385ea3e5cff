import type { ServerFile } from './files.ts'
import { uids } from './paths.ts'
import { type Script, sh } from './sh.ts'

/**
 * Says to unattended-upgrades never to reboot: the host would wait at its unlock prompt, at night, until a custodian comes.
 * apt reads these files in the order of their names, and the last word counts.
 */
export const neverReboot: ServerFile = {
  path: '/etc/apt/apt.conf.d/99everyskill-never-reboot',
  content: `// A reboot needs a custodian: runbooks/unlock-after-reboot.md
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Automatic-Reboot-WithUsers "false";
`,
  owner: uids.root,
  mode: '0644',
}

/** Lets Docker, and with it every container that ran, and cron start with the host. They run already: nothing is restarted. */
export function startAtBoot(): Script {
  return sh`if [ -d /run/systemd/system ]; then systemctl enable -q docker cron; fi`
}
