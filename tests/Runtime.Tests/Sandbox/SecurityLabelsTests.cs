using KataLike.Runtime.Sandboxes;

namespace KataLike.Runtime.Tests.Sandboxes;

public class SecurityLabelsTests
{
    [Fact]
    public void A_label_that_the_host_could_apply_is_passed_over_with_a_warning()
    {
        var warnings = new List<string>();
        SecurityLabels.Check(true, "docker-default", "process.apparmorProfile", "refused", warnings.Add);
        Assert.StartsWith("process.apparmorProfile docker-default is not applied", Assert.Single(warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void A_label_that_it_could_not_is_refused()
    {
        var warnings = new List<string>();
        SecurityLabels.Check(false, "", "process.selinuxLabel", "refused", warnings.Add);
        var refused = Assert.Throws<RuntimeException>(() => SecurityLabels.Check(false, "a:b:c:d", "process.selinuxLabel", "refused", warnings.Add));
        Assert.Equal("process.selinuxLabel a:b:c:d: refused", refused.Message);
        Assert.Empty(warnings);
    }
}
