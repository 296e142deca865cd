using Xunit.Abstractions;

namespace KataLike.Conformance.Tests;

public sealed class ConformanceTests(Campaign campaign, ITestOutputHelper output) : IClassFixture<Campaign>
{
    public static TheoryData<string> Names => [.. Specification.Clauses.Select(clause => clause.Name)];

    /// <summary>A clause that runc breaks is a wrong clause: each is tested by it where it can be.</summary>
    [SkippableTheory]
    [MemberData(nameof(Names))]
    public void Katalike_keeps_what_runc_keeps(string name)
    {
        Skip.If(campaign.Missing is not null, campaign.Missing);
        var clause = Specification.Clauses.Single(clause => clause.Name == name);
        Assert.True(campaign.Runc(clause).Outcome != Outcome.Fail, $"runc: {campaign.Runc(clause).Detail}");
        Assert.True(campaign.KataLike(clause).Outcome == Outcome.Pass || campaign.Differs(clause), campaign.KataLike(clause).Detail);
    }

    [SkippableFact]
    public void Every_difference_in_the_documentation_is_one()
    {
        Skip.If(campaign.Missing is not null, campaign.Missing);
        output.WriteLine(campaign.Summary());
        Assert.Empty(campaign.Differences.Keys.Except(Specification.Clauses.Where(campaign.Differs).Select(clause => clause.Name)));
    }

    /// <summary>A check that passes in a container that was not asked for anything would show nothing.</summary>
    [SkippableFact]
    public async Task Each_check_fails_in_a_container_that_was_not_asked()
    {
        Skip.If(campaign.Missing is not null, campaign.Missing);
        var clauses = Specification.Clauses.OfType<Observed>().Where(clause => !clause.ByDefault).ToList();
        var stage = campaign.NewStage("runc");
        await stage.OpenAsync();
        try
        {
            var seen = await stage.ObserveAsync(stage.NewBundle(), [], clauses.SelectMany(clause => clause.Questions));
            Assert.Empty(clauses.Where(clause => Holds(clause, seen)).Select(clause => clause.Name));
        }
        finally
        {
            await stage.CloseAsync();
        }
    }

    private static bool Holds(Observed clause, Observation seen)
    {
        try
        {
            clause.Check(seen);
            return true;
        }
        catch (Exception)
        {
            return false;
        }
    }
}
