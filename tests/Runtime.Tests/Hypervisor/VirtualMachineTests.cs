using KataLike.Runtime.Hypervisor;

namespace KataLike.Runtime.Tests.Hypervisor;

public class VirtualMachineTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("[    1.0] Memory cgroup out of memory: Killed process 7 (cat)\n", "")]
    [InlineData("[    1.0] Kernel panic - not syncing: Attempted to kill init!\r\n[    1.0] Rebooting\n", ": [    1.0] Kernel panic - not syncing: Attempted to kill init!")]
    [InlineData("[    1.000] katalike-agent: no host answers on vsock port 3\n", ": [    1.000] katalike-agent: no host answers on vsock port 3")]
    public void A_machine_that_gave_up_says_why(string console, string words) => Assert.Equal(words, VirtualMachine.LastWordsIn(console));
}
