#!/usr/bin/perl
# Writes down every program that a set of processes and all their descendants start: argv and environment, whole.
#   perl execs.pl OUT NAME=PID...      until SIGTERM; the first line is `attached`, the last one `end`
# The kernel stops a traced process at fork and at exec and nowhere else, so builds and databases keep their speed (strace
# stops an attached process at every system call). At exec it is stopped in its new image: nothing can be missed or changed.
# Written for the perl that is part of every Debian and Ubuntu. Leaves nobody stopped: the kernel lets go when we end.
#
# A line: `exec`, the name of the process it descends from, pid, parent's pid, PID namespace, control groups (`;`), program,
# argv and environment, the last two as hexadecimal of what /proc says.
use strict;
use warnings;

my %numbers = (x86_64 => [101, 61, 157], aarch64 => [117, 260, 167]);
my ($PTRACE, $WAIT4, $PRCTL) = @{ $numbers{ (split ' ', `uname -m`)[0] } or die "no system call numbers for this machine\n" };
my ($CONT, $GETEVENTMSG, $SEIZE, $LISTEN) = (7, 0x4201, 0x4206, 0x4208);
my ($FORK, $VFORK, $CLONE, $EXEC, $STOP) = (1, 2, 3, 4, 128);
my $OPTIONS = 1 << $FORK | 1 << $VFORK | 1 << $CLONE | 1 << $EXEC;
my %pauses = map { $_ => 1 } 19, 20, 21, 22;    # SIGSTOP SIGTSTP SIGTTIN SIGTTOU
my ($ESRCH, $EINTR) = (3, 4);

my ($out, @roots) = @ARGV;
open my $log, '>', $out or die "$out: $!\n";
chmod 0600, $out;
$log->autoflush(1);
my $ended = 0;
$SIG{TERM} = $SIG{INT} = sub { $ended = 1 };
syscall($PRCTL, 1, 15, 0, 0, 0);                # SIGTERM when our parent dies

my (%side, %held);
for (@roots) {
  my ($name, $pid) = /^([^=]+)=(\d+)$/ or die "not NAME=PID: $_\n";
  seize($name, $pid);
}
while (my @children = untraced()) { seize(@$_) for @children }
print $log "attached\n";

until ($ended) {
  my $status = pack 'i', 0;
  my $pid = syscall($WAIT4, -1, $status, 0x40000000, 0);
  if ($pid < 0) { last if $! != $EINTR; next }
  $status = unpack 'i', $status;
  if (($status & 0xff) != 0x7f) { delete $side{$pid}; delete $held{$pid}; next }    # it has ended
  my ($signal, $event) = ($status >> 8 & 0xff, $status >> 16);
  if ($event == $FORK or $event == $VFORK or $event == $CLONE) {
    my $message = pack 'Q', 0;
    syscall($PTRACE, $GETEVENTMSG, $pid, 0, $message);
    my $child = unpack 'Q', $message;
    $side{$child} = $side{$pid};
    go($child) if delete $held{$child};
    go($pid);
  }
  elsif ($event == $EXEC) { record($pid); go($pid) }
  elsif ($event == $STOP) {
    if (!exists $side{$pid}) { $held{$pid} = 1 }    # its parent has not told us of it yet
    elsif ($pauses{$signal}) { syscall($PTRACE, $LISTEN, $pid, 0, 0) }
    else { go($pid) }
  }
  else { go($pid, $signal) }
}
print $log "end\n";

sub go { my ($pid, $signal) = @_; syscall($PTRACE, $CONT, $pid, 0, $signal // 0) }

# All threads: a thread that is not traced would start children that are not.
sub seize {
  my ($name, $pid) = @_;
  for (my $new = 1; $new;) {
    $new = 0;
    for my $task (map { m{(\d+)$}; 0 + $1 } glob "/proc/$pid/task/*") {
      next if $side{$task};
      if (syscall($PTRACE, $SEIZE, $task, 0, $OPTIONS) < 0) {
        my $why = $!;
        next if $why == $ESRCH or slurp("/proc/$task/status") =~ /^State:\s+[ZX]/m;    # it has ended
        my ($tracer) = slurp("/proc/$task/status") =~ /^TracerPid:\s+(\d+)/m;
        # When we are that, the kernel has attached it as the child of one we have.
        die "cannot trace $task of $name: $why; process ", $tracer // 0, " traces it\n" if ($tracer // 0) != $$;
      }
      $side{$task} = $name;
      $new = 1;
    }
  }
}

# The children, living already, of what we have.
sub untraced {
  my @found;
  for my $pid (map { m{(\d+)$}; 0 + $1 } glob '/proc/[0-9]*') {
    next if $pid == $$ or $side{$pid};
    my $status = slurp("/proc/$pid/status");
    next if $status =~ /^State:\s+[ZX]/m;    # it has ended
    my ($parent) = $status =~ /^PPid:\s+(\d+)/m or next;
    push @found, [$side{$parent}, $pid] if $side{$parent};
  }
  return @found;
}

sub record {
  my ($pid) = @_;
  my ($parent) = slurp("/proc/$pid/status") =~ /^PPid:\s+(\d+)/m;
  my $groups = join ';', map { (split /:/, $_, 3)[2] } split /\n/, slurp("/proc/$pid/cgroup");
  my @facts = ($side{$pid} // '?', $pid, $parent // 0, readlink("/proc/$pid/ns/pid") // '?', $groups, readlink("/proc/$pid/exe") // '?');
  print $log join("\t", 'exec', @facts, unpack('H*', slurp("/proc/$pid/cmdline")), unpack('H*', slurp("/proc/$pid/environ"))), "\n";
}

sub slurp { open my $file, '<', $_[0] or return ''; local $/; return scalar(<$file>) // '' }
